"""Dtypes and fill values as metadata documents write them: one module for each format, and what they share."""
