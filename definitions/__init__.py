"""What a workflow is: the document, its validation, expressions, records, ids, ports and errors.

Pure: pydantic and expression libraries, no Temporal, no I/O. Everything else imports this package,
and it imports nothing of ours.
"""
