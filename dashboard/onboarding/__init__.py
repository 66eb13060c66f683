"""The engine: every rule of docs/model.md and nothing of any door. It takes a session and an actor, never commits."""
