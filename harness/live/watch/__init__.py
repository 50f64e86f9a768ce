"""`harness watch`: the judgement of `harness why`, going on. It costs next to nothing while everything moves."""
