#pragma once
/* Until its standard input ends. */
int witness(void);
