"""How JupyterLab opens and saves notebooks; installed with the package, where Jupyter finds it."""

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookFiles(AsyncLargeFileManager):
    """Notebooks name Python without its version, which differs from one computer to the next.

    JupyterLab adds the version when it opens one, which then counts as changed. So it is told at
    once, and it is not saved.
    """

    async def get(self, path, content=True, **options):
        """Read a file, and note in a notebook for Python what its kernel will say."""
        model = await super().get(path, content, **options)
        if content and model["type"] == "notebook" and _is_for_python(model["content"]):
            from ipykernel.ipkernel import IPythonKernel

            model["content"]["metadata"]["language_info"] = dict(IPythonKernel.language_info)
        return model

    async def save(self, model, path=""):
        """Write a file, a notebook without what differs or has no kernel."""
        prepare_to_save(model)
        return await super().save(model, path)


def prepare_to_save(model):
    """Leave out the version of Python, and each widget that has a picture.

    An explorer is displayed as a living widget and as a picture. Without its kernel the widget is
    dead, and JupyterLab would show an error instead of the picture.
    """
    if model.get("type") != "notebook" or not model.get("content"):
        return
    if _is_for_python(model["content"]):
        model["content"]["metadata"]["language_info"] = {"name": "python"}
    for cell in model["content"]["cells"]:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                output["data"].pop(WIDGET_VIEW, None)


def _is_for_python(content):
    return content["metadata"].get("language_info", {}).get("name") == "python"


c.ServerApp.contents_manager_class = NotebookFiles  # noqa: F821
