package words

import _ "embed"

//go:embed word.txt
var Word string
