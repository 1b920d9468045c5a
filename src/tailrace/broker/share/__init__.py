"""Share groups (KIP-932), the partition's side: which record is whose, and until when."""
