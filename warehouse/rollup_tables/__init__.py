"""The app that owns the rollups' Django models; they are made at start-up from the SQL files."""
