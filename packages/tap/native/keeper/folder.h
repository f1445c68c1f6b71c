/* The directory of files that inpod made and could not remove. */
#pragma once
void folder_remove(const char *path);
