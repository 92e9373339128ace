"""A note-taking program that runs a plug-in: `python host.py PLUGIN.wasm`."""

import sys
from functools import partial

from plugin_bindings import Guest, add_to_linker, notes

from wasi_nn_torch import Engine, Limits
from wit_host import ResultError


class Book(notes.Notebook):
    def __init__(self, access: notes.Access, *content: notes.Note) -> None:
        self.rights, self.content = access, list(content)

    def access(self) -> notes.Access:
        return self.rights

    def find(self, which: notes.Query) -> list[notes.Note]:
        match which:
            case notes.QueryTagged(tag):
                return [note for note in self.content if tag in note.tags]
            case notes.QueryContaining(text):
                return [note for note in self.content if text in note.text]
            case notes.QueryEverything():
                return self.content

    def add(self, note: notes.Note) -> None:
        if notes.Access.WRITE not in self.rights:
            raise notes.NotesRefusalError(notes.Refusal.READ_ONLY)
        if note in self.content:
            raise notes.NotesRefusalError(notes.Refusal.DUPLICATE)
        self.content.append(note)

    def drop(self) -> None:
        """The plug-in released the notebook."""


class Library(notes.Host):
    roof = notes.Note("Roof", ["todo"], "mend it before winter")
    home = Book(notes.Access.READ | notes.Access.WRITE, roof, notes.Note("Keys", [], "are under the stone"))
    archive = Book(notes.Access.READ, roof)

    def get_notebook(self, name: str) -> Book | None:
        return {"home": self.home, "archive": self.archive}.get(name)


engine = Engine()
guest = engine.compile(sys.argv[1], link=partial(add_to_linker, notes_host=Library()))
with engine.session(limits=Limits(memory=256 << 20, timeout=10)) as session:
    plugin = session.start(guest, Guest)
    print("can:", *(f"{action.name} ({action.help})" for action in plugin.actions.available()), sep="\n  ")
    for wish in ["words home", "todo home", "todo home", "todo archive", "words attic"]:
        try:
            print(f"{wish}:", plugin.actions.run(*wish.split()))
        except ResultError as error:
            print(f"{wish}: failed,", error.value)
