"""Arrays in, figures out: Plotly, Altair and the browser components. No Streamlit state, no models, no maths."""
