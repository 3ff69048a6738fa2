"""Pictures of answers: one grammar (Vega-Lite specifications), made here and drawn wherever one is shown.

`grammar` has the words of every picture, `decision`, `work` and `doubt` say what is drawn, `draw` makes SVG and PNG.
"""
