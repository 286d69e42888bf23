"""What NumPy's functions and ufuncs do with arrays that are not in memory: one table, a module for each family.

`dispatch.call` and `ufuncs.call` are the ways in. A family registers its functions in `table.TABLE` when it is imported, which
`dispatch` does when the first function is called.
"""
