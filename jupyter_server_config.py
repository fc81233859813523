"""What JupyterLab does when it saves a notebook; installed with the package, where it is found.

An explorer is saved as a living widget and as a picture. Without its kernel the widget is dead, and
JupyterLab would then show an error instead of the picture, so the widget is not saved.
"""

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def drop_widgets_with_a_picture(model, **kwargs):
    """Drop, from the notebook that is about to be saved, each widget that has a picture."""
    if model["type"] != "notebook" or not model.get("content"):
        return
    for cell in model["content"]["cells"]:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                output["data"].pop(WIDGET_VIEW, None)


c.ContentsManager.pre_save_hook = drop_widgets_with_a_picture  # noqa: F821
