"""The numbers of the advisory locks, each held until its transaction ends: any will do that no other here has."""

SCHEMA = 7_402_118_350_962_841_553
"""The schema changes. Every version of the program has to use this one."""

IMPORT = 3_904_771_652_018_446_127
"""People are imported, or taken over from another database."""

NEW_STEP = 5_218_046_937_710_264_889
"""A step gets its place at the end of the checklist, or none may while a document is brought in."""

DEMO = 5_310_746_227_109_118_401
"""An empty database is filled with the demo."""
