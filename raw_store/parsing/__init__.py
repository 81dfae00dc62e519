"""What a transform reads a body with: text in its charset, JSON, HTML, XML, CSV, validated values.

`Payload` has a method for each and imports its module when it is first called, so that a scan or
a worker that reads no XML never loads an XML parser. Every function here is pure: what it gives
depends on the body, its content type and its arguments alone.
"""

PARSER_FORMAT = 1
"""Part of every transform's fingerprint: raised when a parser reads a body otherwise than before,
so that everything is parsed again."""
