"""The page in a browser on which anyone makes clips with a base, a control and a joint model side by side."""
