"""The load test: generator processes ask a served model, and every answer is checked while it loads.

The way of a test: `questions` (rows of the model file with their answers) · `fleet` (processes) · `generator` (one
process: when to ask, on which connection) · `connection` and `exchange` (the bytes) · `tally` and `histogram` (what
came of it) · `result` and `page` (told to people and programs). Importing this package imports none of them: a
generator process loads neither numpy nor a client library.
"""
