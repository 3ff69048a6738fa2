"""The four answers: prompt, rag, finetune, pretrain. None imports another."""

STAGES = ("prompt", "rag", "finetune", "pretrain")
COMBINATIONS = ("prompt+rag", "finetune+rag", "distil", "corpus-in-prompt")  # of them, composed by decide/combine.py
