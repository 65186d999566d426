"""Write the table of the controls, and what they say."""
