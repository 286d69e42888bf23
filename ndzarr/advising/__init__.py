"""`advise`: what would make a store smaller or its reads cheaper, found by looking at little of it, and the call to do it."""
