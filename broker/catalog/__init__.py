"""
From catalog files to service offerings.

`reader` reads a folder, `guard` refuses what must not be published, `publishing` writes a revision into SQL,
and `source` serves the newest revision to everybody else.
"""
