#pragma once
/*
 * COMMAND is stopped (Ctrl-Z, `suspend`, reading the terminal from the background), so INPOD, of which a shell knows,
 * is to be stopped, too. Stops it, and returns when either is continued:
 *   INPOD (fg, bg):             COMMAND is continued with its group, which gets the terminal again if it had it;
 *   COMMAND (kill -CONT), or it has ended: INPOD is continued.
 * For a process of its own: who is stopped can do neither.
 */
void stop_with(int inpod, int command);
