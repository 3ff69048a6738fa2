"""The four answers: prompt, rag, finetune, pretrain. None imports another."""

STAGES = ("prompt", "rag", "finetune", "pretrain")
COMBINATIONS = ("prompt+rag", "finetune+rag", "distil", "corpus-in-prompt")  # of them: decide/combine.py
TASKS = ("serve", "finetune", "pretrain")  # what accelerators are for
