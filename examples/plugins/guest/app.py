"""A plug-in that collects the notes tagged as to do."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.actions import Action
from wit_world.imports import notes

REFUSALS = {notes.Refusal.READ_ONLY: "it may only be read", notes.Refusal.DUPLICATE: "it has one already"}


class Actions(exports.Actions):
    def available(self) -> list[Action]:
        return [
            Action("todo", "write a note with everything that is tagged as to do"),
            Action("words", "count the words of a notebook"),
        ]

    def run(self, name: str, notebook: str) -> str:
        book = notes.get_notebook(notebook)
        if book is None:
            raise Err(f"there is no notebook {notebook}")
        with book:
            match name:
                case "todo":
                    return collect(book)
                case "words":
                    found = book.find(notes.Query_Everything())
                    return f"{sum(len(note.text.split()) for note in found)} words in {len(found)} notes"
        raise Err(f"there is no action {name}")


def collect(book: notes.Notebook) -> str:
    todo = book.find(notes.Query_Tagged("todo"))
    lines = "\n".join(f"- {note.title}: {note.text}" for note in todo)
    try:
        book.add(notes.Note("To do", ["summary"], lines))
    except Err as error:
        raise Err(f"the notebook did not take the note: {REFUSALS[error.value]}") from None
    return f"the note `To do` lists {len(todo)}"
