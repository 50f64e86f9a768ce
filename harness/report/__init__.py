"""A run as a page that people read: one HTML file that asks nobody for anything, and the same as Markdown, CSV, Parquet, LaTeX.

`content` gathers what there is to show, `charts` draws it, `page` renders it (template, style and script lie beside), `exports`
writes the other forms.
"""
