"""Metadata documents <-> values. Bytes in, values out; no store."""
