"""The compiled path: an operation as one SQL statement a level, without model instances.

A validated document becomes a plan, once (`plan`); the values of its arguments become the
parameters of SQL that Django's own compiler made (`statements`); rows are read flat, level
by level, inside one snapshot of the database, and become JSON column by column (`levels`,
`values`). What a plan does not cover, whatever fails in it and whatever is refused runs on
the ordinary executor, which says what it has to say: the two give the same answers.
"""
