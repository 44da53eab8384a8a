"""The YAML schema: frozen, typed models with units, defaults and sources; the only reader of YAML.

`vmsim.spec.load` reads files, `vmsim.spec.experiment` holds the models. Nothing is imported here, so that a command
that needs no experiment doesn't pay for them.
"""
