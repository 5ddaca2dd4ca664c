"""How do we show it? Drawings, plots, one page and the loggers: import the module that you need, as some are heavy."""
