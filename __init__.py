"""shardstream."""
