"""`estimator docs` opens the site that is installed, and says how to get one where there is none."""

import webbrowser

from estimator.cli import docs, main


def test_it_opens_the_installed_site(tmp_path, monkeypatch, capsys):
    opened = []
    (tmp_path / "_docs").mkdir()
    (tmp_path / "_docs" / "index.html").write_text("<h1>estimator</h1>")
    monkeypatch.setattr(docs, "SITE", tmp_path / "_docs")
    monkeypatch.setattr(webbrowser, "open", opened.append)

    assert main(["docs", "--where"]) == 0
    assert opened == []
    assert main(["docs"]) == 0
    assert opened == [(tmp_path / "_docs" / "index.html").as_uri()]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "_docs" / "index.html")] * 2


def test_without_a_site_it_says_how_to_build_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "SITE", tmp_path / "_docs")

    assert main(["docs"]) == 2
    assert "sphinx" in capsys.readouterr().err
