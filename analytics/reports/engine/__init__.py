"""Pure computing of reports: laying out what the database summed up, shares and changes, formulas."""
