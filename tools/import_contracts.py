"""A contract for import-linter: a library is imported by the modules that are named, and by no others."""

from fnmatch import fnmatchcase
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyInContract(Contract):
    """`libraries` may be imported by modules that match one of `modules` (shell patterns), directly."""

    type_name = "only_in"

    libraries = fields.ListField(subfield=fields.StringField())
    modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the modules that import a library and match no pattern."""
        patterns: Any = self.modules
        libraries: Any = self.libraries
        broken = [
            graph.get_import_details(importer=importer, imported=library)[0]
            for library in libraries
            if library in graph.modules
            for importer in sorted(graph.find_modules_that_directly_import(library))
            if not any(fnmatchcase(importer, pattern) for pattern in patterns)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that is not allowed, with its line."""
        for found in check.metadata["broken"]:
            output.print_error(f"{found['importer']}:{found['line_number']} imports {found['imported']}", bold=True)
            output.print_error(f"  {found['line_contents']}")
