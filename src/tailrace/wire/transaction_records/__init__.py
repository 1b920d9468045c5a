"""Records of `__transaction_state`, generated from `schema/records`. Used by `coordinator.transactions` alone."""
