"""Arrays with other chunks in bounded memory: `plan.py` which blocks are copied, `rechunk.py` the copying, and how it goes
on."""
