"""`compress`: the smallest chain of codecs that keeps a bound on the error, found on a sample and held to it everywhere."""
