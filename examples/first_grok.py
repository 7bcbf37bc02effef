"""A first grok, as a marimo notebook: `marimo edit examples/first_grok.py`, or `python examples/first_grok.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo
    import numpy as np
    import plotly.graph_objects as go
    import polars as pl

    import groklab as gl

    return gl, go, mo, np, pl


@app.cell
def _(mo):
    mo.md("""
    # A first grok

    A quadratic network learns addition mod 23 from 65% of the pairs. It fits them within some hundred steps, and
    answers the others only a thousand steps later.
    """)
    return


@app.cell
def _(gl):
    run = gl.train(gl.preset("micro"))
    summary = run.summary()
    return run, summary


@app.cell
def _(mo, summary):
    mo.md(f"""
    Memorised at step {summary["memorised_step"]:,}, grokked at step {summary["grokked_step"]:,}:
    {summary["grokked_step"] / summary["memorised_step"]:.1f} times as long.
    """)
    return


@app.cell
def _(pl, run):
    metrics = run.metrics
    metrics.filter(pl.col("step") % 500 == 0)
    return (metrics,)


@app.cell
def _(go, metrics, mo):
    curves = go.Figure()
    for part in ("train", "test"):
        curves.add_scatter(x=metrics["step"].to_list(), y=metrics[f"{part}_accuracy"].to_list(), name=part)
    curves.update_layout(template="plotly_white", title="accuracy", yaxis_tickformat=".0%")
    curves.update_xaxes(type="log", title="steps")
    mo.as_html(curves)
    return


@app.cell
def _(mo):
    mo.md("""
    ## What the embedding holds

    The Fourier spectrum of the first layer at each kept checkpoint: the share of its power at each frequency. This
    small network uses all eleven frequencies alike; the preset `micro-transformer` uses three or four.
    """)
    return


@app.cell
def _(gl, go, mo, np, run):
    spectrum = gl.take(run, "embedding_spectrum")
    share = np.array(spectrum["share"].to_list())
    heat = go.Figure(
        go.Heatmap(z=share.T, x=[str(s) for s in spectrum["step"]], y=np.arange(1, share.shape[1] + 1).tolist())
    )
    heat.update_layout(template="plotly_white", title="share of each frequency")
    heat.update_xaxes(type="category", title="steps")
    heat.update_yaxes(title="frequency")
    mo.as_html(heat)
    return


@app.cell
def _(mo):
    mo.md("""
    ## Seeds

    One run says little about when a network groks. Three members, each with weights and a split of its own, at two
    strengths of weight decay:
    """)
    return


@app.cell
def _(gl, mo, pl):
    ensembles = [
        gl.train(gl.preset("micro", {"name": f"decay-{decay}", "optimiser.weight_decay": decay}), seeds=3)
        for decay in (0.5, 1.0)
    ]
    compared = gl.compare(ensembles).statistics
    seeds = pl.DataFrame([{"run": row["run"], **row["grokking"]} for row in compared["runs"]])
    print(seeds)
    mo.ui.table(seeds, selection=None)
    return


if __name__ == "__main__":
    app.run()
