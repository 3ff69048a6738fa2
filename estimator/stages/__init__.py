"""The four answers: prompt, rag, finetune, pretrain. None imports another."""

STAGES = ("prompt", "rag", "finetune", "pretrain")
