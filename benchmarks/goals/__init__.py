"""One module for each kind of goal; `GOALS` names them."""
