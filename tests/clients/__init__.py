"""Python clients against a broker process: needs nothing but Python packages."""
