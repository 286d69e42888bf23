"""What `asv_bench/compare.py` measures: rows of one workload each, done by every library on the same files."""
