/** Tokenizers of text-image networks: CLIP's byte-pair encoding and BERT's word pieces. */
@NullMarked
package org.metaflowmaps.models.vision.text;

import org.jspecify.annotations.NullMarked;
