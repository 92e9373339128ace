"""Code for the Python guest, which tries many things with the files in `/d`, and answers with what came of each."""

from __future__ import annotations

ATTEMPTS = r"""
import os
import stat

D = "/d/"
outcomes = {}


def attempt(name, act):
    try:
        outcomes[name] = act()
    except OSError as error:
        outcomes[name] = f"error: {error.strerror}"
    except ValueError as error:
        outcomes[name] = f"value: {error}"


def write(path, content, mode="wb"):
    with open(D + path, mode) as file:
        return file.write(content)


def read(path):
    with open(D + path, "rb") as file:
        return file.read().decode()


def modify():
    with open(D + "new.txt", "r+b") as file:
        file.seek(2)
        file.write(b"ZZ")
        file.seek(0)
        return file.read().decode()


def hold():
    write("held", b"123")
    with open(D + "held", "rb") as file:
        os.unlink(D + "held")
        return file.read().decode()


def past_the_end():
    with open(D + "a.txt", "rb") as file:
        file.seek(10000)
        return file.read().decode()


def opened(path, flags):
    os.close(os.open(D + path, flags))


attempt("list", lambda: sorted(os.listdir(D)))
for path in (
    "a.txt missing sub a.txt/x a.txt/ ../secret sub/../../secret sub/../a.txt in out absolute sub/up to-sub/b.txt loop "
    "one nowhere out-and-in a\0b"
).split(" "):
    attempt(f"read {path}", lambda: read(path))
    attempt(f"stat {path}", lambda: stat.S_IFMT(os.stat(D + path).st_mode))
    attempt(f"lstat {path}", lambda: stat.S_IFMT(os.lstat(D + path).st_mode))
    attempt(f"readlink {path}", lambda: os.readlink(D + path))
    attempt(f"listdir {path}", lambda: sorted(os.listdir(D + path)))
attempt("outside", lambda: open("/etc/passwd").read())
attempt("size", lambda: (os.stat(D + "a.txt").st_size, os.stat(D + "a.txt").st_nlink))
attempt("write", lambda: write("new.txt", b"hello"))
attempt("append", lambda: write("new.txt", b" world", "ab"))
attempt("read what was appended", lambda: read("new.txt"))
attempt("make again", lambda: write("new.txt", b"x", "xb"))
attempt("truncate", lambda: os.truncate(D + "new.txt", 3))
attempt("grow", lambda: os.truncate(D + "new.txt", 6))
attempt("read what was cut off", lambda: read("new.txt"))
attempt("modify", modify)
attempt("mkdir", lambda: os.mkdir(D + "m"))
attempt("mkdir again", lambda: os.mkdir(D + "m"))
attempt("mkdir /", lambda: os.mkdir(D + "m2/"))
attempt("mkdir ..", lambda: os.mkdir(D + "../m"))
attempt("mkdir .", lambda: os.mkdir(D + "."))
attempt("write in it", lambda: write("m/f", b"1"))
attempt("rmdir of a full one", lambda: os.rmdir(D + "m"))
attempt("rmdir of a file", lambda: os.rmdir(D + "new.txt"))
attempt("unlink of a directory", lambda: os.unlink(D + "m"))
attempt("rename", lambda: os.rename(D + "m/f", D + "g"))
attempt("rename onto a file", lambda: os.rename(D + "g", D + "new.txt"))
attempt("read what was renamed", lambda: read("new.txt"))
attempt("rename into itself", lambda: os.rename(D + "m", D + "m/n"))
attempt("rename a file onto a directory", lambda: os.rename(D + "new.txt", D + "m"))
attempt("rename a directory onto a file", lambda: os.rename(D + "m", D + "new.txt"))
attempt("rename a directory onto a directory", lambda: os.rename(D + "m2", D + "m"))
attempt("rename what is missing", lambda: os.rename(D + "zz", D + "m"))
attempt("rename to the outside", lambda: os.rename(D + "new.txt", D + "../m"))
attempt("rmdir", lambda: os.rmdir(D + "m"))
attempt("link", lambda: os.link(D + "a.txt", D + "h.txt"))
attempt("two names", lambda: os.stat(D + "h.txt").st_nlink)
attempt("link of a directory", lambda: os.link(D + "sub", D + "hd"))
attempt("link to the outside", lambda: os.link(D + "a.txt", D + "../hd"))
attempt("symlink", lambda: os.symlink("a.txt", D + "s"))
attempt("read through it", lambda: read("s"))
attempt("symlink to a path of the host", lambda: os.symlink("/etc/passwd", D + "s2"))
attempt("symlink that exists", lambda: os.symlink("b", D + "s"))
attempt("symlink to nothing", lambda: os.symlink("", D + "s9"))
attempt("write through a link to the outside", lambda: write("out", b"x"))
attempt("unlink", lambda: os.unlink(D + "s"))
attempt("unlink what is missing", lambda: os.unlink(D + "s"))
attempt("unlink /", lambda: os.unlink(D + "a.txt/"))
attempt("times", lambda: (os.utime(D + "a.txt", (5, 7)), os.stat(D + "a.txt").st_mtime)[1])
attempt("a long name", lambda: write("n" * 256, b""))
attempt("the longest name", lambda: write("n" * 255, b""))
attempt("a long path", lambda: read("x/" * 3000))
attempt("many steps", lambda: read("sub/" + "./" * 200 + "b.txt"))
attempt("open a directory", lambda: opened("sub", os.O_RDONLY | os.O_DIRECTORY))
attempt("open a file as a directory", lambda: opened("a.txt", os.O_RDONLY | os.O_DIRECTORY))
attempt("open a directory to write", lambda: opened("sub", os.O_WRONLY))
attempt("make a directory as a file", lambda: opened("sub", os.O_WRONLY | os.O_CREAT))
attempt("make a file with /", lambda: opened("q/", os.O_WRONLY | os.O_CREAT))
attempt("past the end", past_the_end)
attempt("hold", hold)
attempt("list at the end", lambda: sorted(os.listdir(D)))
attempt("list sub at the end", lambda: sorted(os.listdir(D + "sub")))
answer(outcomes)
"""
