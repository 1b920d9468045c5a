"""Metadata: who exists, who leads, and every setting. Pure decisions; stores behind one small contract."""
