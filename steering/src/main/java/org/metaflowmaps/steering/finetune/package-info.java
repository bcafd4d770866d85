/** Fine-tuning of a drift to a tilted law (MFM-FT, method §9): the objective, its running shifts, and the run. */
@NullMarked
package org.metaflowmaps.steering.finetune;

import org.jspecify.annotations.NullMarked;
