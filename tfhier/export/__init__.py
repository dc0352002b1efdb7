"""Out of the laboratory: SavedModel and TFLite files that carry their contract."""
