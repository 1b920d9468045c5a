"""One broker as a whole: reads settings, builds everything once, starts it, stops it."""
