"""One trial at work, without Ray: its plan, its runner, and what memory it takes."""
