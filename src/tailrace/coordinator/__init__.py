"""Coordinators: replicated state machines over an internal topic. Each decides, appends, replays; none does I/O."""
