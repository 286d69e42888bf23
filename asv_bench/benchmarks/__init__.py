"""Benchmarks for asv: `asv run --config asv_bench/asv.conf.json --python=same`."""
