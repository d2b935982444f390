"""The browser pages: a frame, one fragment of HTML a page, and the styles and modules that they load."""
