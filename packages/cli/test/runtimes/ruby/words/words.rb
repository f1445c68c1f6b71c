WORD = "required"
