"""Real servers for the tests, on 127.0.0.1: how each is found, started, waited for and stopped.

A test takes the fixture of the server's name (`moto`, `versitygw`, `azurite`, `gcs`, `nginx`, `postgres`, `ferretdb`) and gets
a `Server`. It is started when the first test asks, once for all workers of a run, and stopped at the end of the run, however
that comes about. `.ci/run servers` installs them all; `python -m tests.servers NAME` starts one by hand.
"""
